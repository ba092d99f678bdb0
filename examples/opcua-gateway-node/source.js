/**
 * A simulated OPC UA server with a client's monitored items, for trying the gateway without a plant.
 *
 * For a real one, keep `subscribe` and `close`, and fill `subscribe` with a client's monitored items: it calls
 * `onChange(nodeId, { value, status, sourceTimestamp })` whenever a value changed, as a data change notification does.
 */
export class SimulatedSource {
  #timers = [];

  subscribe(tags, onChange, samplingMs = 500) {
    for (const tag of tags) {
      const middle = (tag.low + tag.high) / 2, width = (tag.high - tag.low) / 2;
      const phase = Math.random() * 2 * Math.PI;
      let noise = 0;
      const sample = () => {
        noise = 0.9 * noise + 0.1 * (Math.random() - 0.5) * 6;
        // A sensor fails now and then: its value is not to be trusted, and OPC UA says so with the status.
        const status = Math.random() < 0.002 ? "BadSensorFailure" : "Good";
        const swing = 0.75 * Math.sin(Date.now() / 17000 + phase);
        const value = Number((middle + width * (swing + 0.35 * noise)).toFixed(width < 5 ? 2 : 1));
        onChange(tag.nodeId, { value, status, sourceTimestamp: new Date().toISOString() });
      };
      sample();
      this.#timers.push(setInterval(sample, samplingMs));
    }
  }

  close() {
    this.#timers.forEach(clearInterval);
  }
}
