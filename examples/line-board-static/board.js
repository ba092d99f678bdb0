// An andon board without a server: what the line is comes from board.json, what happens on it is simulated here.
// For a real line, keep `draw` and replace `simulate` by a stream of calls (an EventSource on the plant's gateway).

const words = {
  zh: { other: "English", note: "模拟数据 · 点击工位可呼叫或解除", target: "班次目标", should: "应产", done: "实产", gap: "差异", takt: "节拍 (s)", calls: "当前呼叫",
        ok: "正常", quality: "质量呼叫", material: "物料呼叫", equipment: "设备停机", safety: "安全停线", foot: "静态页面 · 由工坊运行", fault: "无法读取 board.json" },
  en: { other: "中文", note: "Simulated · press a station to call or to clear", target: "Target", should: "Planned by now", done: "Made", gap: "Gap", takt: "Takt (s)", calls: "Open calls",
        ok: "Running", quality: "Quality call", material: "Material call", equipment: "Equipment stop", safety: "Safety stop", foot: "A static page · run by Gongfang",
        fault: "board.json can't be read" } };
const kinds = { ok: "ok", quality: "call", material: "call", equipment: "stop", safety: "stop" };
let lang = (localStorage.lang || navigator.language).startsWith("zh") ? "zh" : "en", board = null;
const at = id => document.getElementById(id);
const make = (name, text, kind) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e };
const minutes = text => text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);

/** How much of the shift is over, from 0 to 1. */
function progress(now) {
  const start = minutes(board.shift.start), length = minutes(board.shift.end) - start;
  return Math.min(1, Math.max(0, (now.getHours() * 60 + now.getMinutes() + now.getSeconds() / 60 - start) / length));
}

function simulate(seconds) {
  for (const station of board.stations) {
    if (station.state === "ok" && Math.random() < seconds / 400) call(station, ["quality", "material", "material", "equipment", "safety"][Math.floor(Math.random() * 4.1)]);
    else if (station.state !== "ok" && Math.random() < seconds / 35) call(station, "ok");
  }
  if (board.stations.some(station => kinds[station.state] === "stop")) board.lost += seconds;
}

function call(station, state) {
  station.state = state;
  station.since = Date.now();
}

function draw() {
  const w = words[lang], now = new Date();
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  at("switch").textContent = w.other; at("foot").textContent = w.foot;
  at("clock").textContent = now.toLocaleTimeString("zh-CN", { hour12: false });
  if (!board) return;
  document.title = at("line").textContent = board.line[lang]; at("note").textContent = w.note;
  const should = Math.round(board.shift.target * progress(now)), done = Math.max(0, Math.round(should * 0.985 - board.lost / board.takt_s));
  const open = board.stations.filter(station => station.state !== "ok").length;
  at("numbers").replaceChildren(...[[board.shift.target, w.target], [should, w.should], [done, w.done], [done - should, w.gap, done - should < -10], [board.takt_s, w.takt], [open, w.calls]].map(
    ([value, name, late]) => { const box = make("div", undefined, late ? "late" : ""); box.append(make("b", value), make("span", name)); return box }));
  at("stations").replaceChildren(...board.stations.map(station => {
    const box = make("article", undefined, kinds[station.state]), head = make("div", station.code, "code");
    if (station.state !== "ok") head.append(make("span", `${Math.round((Date.now() - station.since) / 1000)} s`));
    box.append(head, make("div", station[lang]), make("div", w[station.state], "why"));
    box.tabIndex = 0; box.onclick = () => { call(station, station.state === "ok" ? "quality" : "ok"); draw() };
    return box }));
}

at("switch").onclick = () => { lang = lang === "zh" ? "en" : "zh"; localStorage.lang = lang; draw() };
draw();
try {
  const answer = await fetch("board.json", { cache: "no-cache" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  board = { lost: 0, ...await answer.json() };
  for (const station of board.stations) call(station, "ok");
  call(board.stations[2], "material");
  draw();
  setInterval(() => { simulate(1); draw() }, 1000);
} catch (error) {
  at("note").textContent = `${words[lang].fault}: ${error.message}`;
}
