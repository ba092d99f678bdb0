/** The MQTT side: the plant's broker where `MQTT_URL` names one, else a small one inside this process. */
import { once } from "node:events";
import net from "node:net";
import aedes from "aedes";
import mqtt from "mqtt";

export async function connect(url) {
  const inside = url ? null : await broker();
  const client = await mqtt.connectAsync(url || inside.url, { clientId: `gateway-${process.pid}`, reconnectPeriod: 1000 });
  client.on("error", error => console.error(`MQTT: ${error.message}`));
  return {
    client,
    async close() {
      await client.endAsync(); // what was published is sent before
      await inside?.close();
    },
  };
}

async function broker() {
  const hub = aedes(), server = net.createServer(hub.handle);
  server.listen(0, "127.0.0.1"); // for this process only
  await once(server, "listening");
  return {
    url: `mqtt://127.0.0.1:${server.address().port}`,
    close: () => new Promise(done => hub.close(() => server.close(done))),
  };
}
