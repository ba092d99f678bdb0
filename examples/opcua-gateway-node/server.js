/**
 * A gateway from OPC UA to MQTT and the web:
 *
 *     OPC UA source → MQTT topics (retained) → newest values → JSON, server-sent events, a page
 *
 * `PORT`: where it answers. `MQTT_URL`: the plant's broker (mqtt://…); without it one runs inside. `TOPIC_ROOT`:
 * what every topic begins with.
 */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import express from "express";
import { connect } from "./bus.js";
import { SimulatedSource } from "./source.js";
import { tags } from "./tags.js";

const root = process.env.TOPIC_ROOT || "plant/line3";
const byNode = new Map(tags.map(tag => [tag.nodeId, tag]));
const byTopic = new Map(tags.map(tag => [`${root}/${tag.topic}`, tag]));
const newest = new Map();
const readers = new Set();
// A stream lasts so long; a browser asks again at once, and is led away from an instance that is to stop, so a new
// version never has to wait longer for the readers of the old one.
const streamMs = 5_000;
let received = 0;

function state(tag, value, status) {
  if (status !== "Good") return "bad";
  return value < tag.low ? "low" : value > tag.high ? "high" : "good";
}

const bus = await connect(process.env.MQTT_URL);
bus.client.on("message", (topic, payload) => {
  const tag = byTopic.get(topic);
  if (!tag) return;
  received += 1;
  const said = JSON.parse(payload);
  newest.set(topic, { ...tag, topic, ...said, state: state(tag, said.value, said.status) });
});
await bus.client.subscribeAsync(`${root}/#`, { qos: 0 }); // the next value comes soon enough

const source = new SimulatedSource();
source.subscribe(tags, (nodeId, change) => {
  const topic = `${root}/${byNode.get(nodeId).topic}`;
  bus.client.publish(topic, JSON.stringify(change), { qos: 1, retain: true });
});

const report = () => ({ root, received, instance: process.env.GONGFANG_INSTANCE_INDEX ?? "0", values: [...newest.values()] });

const app = express();
app.disable("x-powered-by");
app.use(express.static(fileURLToPath(new URL("public", import.meta.url)), { maxAge: 0 }));
app.get("/api/values", (_request, response) => response.json(report()));
app.get("/api/values/*topic", (request, response) => {
  const value = newest.get(request.params.topic.join("/"));
  if (value) response.json(value);
  else response.status(404).json({ error: "没有此主题 / no such topic", topics: [...newest.keys()] });
});
app.get("/events", (_request, response) => {
  response.set({ "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", Connection: "close" });
  response.write(`retry: 200\ndata: ${JSON.stringify(report())}\n\n`);
  readers.add(response);
  const end = setTimeout(() => response.end(), streamMs);
  response.on("close", () => { clearTimeout(end); readers.delete(response) });
});
app.get("/healthz", (_request, response) => {
  const well = bus.client.connected && newest.size > 0;
  response.status(well ? 200 : 503).type("text").send(well ? "ok\n" : "MQTT 未连接 / MQTT is not connected\n");
});

const ticking = setInterval(() => {
  const text = `data: ${JSON.stringify(report())}\n\n`;
  for (const reader of readers) reader.write(text);
}, 500);

const server = app.listen(Number(process.env.PORT || 8000), "0.0.0.0");
await once(server, "listening");
console.log(`gateway of ${tags.length} OPC UA nodes on port ${server.address().port}, topics ${root}/#`);

/** No new connections; what is being answered is finished; then the source, the bus and the process end. */
async function stop() {
  clearInterval(ticking);
  const closed = once(server, "close");
  server.close();
  for (const reader of readers) reader.end();
  server.closeIdleConnections();
  await closed;
  source.close();
  await bus.close();
  console.log("stopped");
}
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, stop);
