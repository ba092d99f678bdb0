/** What is read: an OPC UA node each, with the topic that it is published under and the limits that it should keep. */
export const tags = [
  { nodeId: "ns=2;s=Press1.Force", topic: "press1/force", zh: "一号压力机 压力", en: "Press 1 force", unit: "kN", low: 180, high: 260 },
  { nodeId: "ns=2;s=Press1.StrokeRate", topic: "press1/stroke-rate", zh: "一号压力机 行程次数", en: "Press 1 stroke rate", unit: "1/min", low: 20, high: 34 },
  { nodeId: "ns=2;s=Press1.OilTemperature", topic: "press1/oil-temperature", zh: "一号压力机 油温", en: "Press 1 oil temperature", unit: "°C", low: 25, high: 58 },
  { nodeId: "ns=2;s=Press2.Force", topic: "press2/force", zh: "二号压力机 压力", en: "Press 2 force", unit: "kN", low: 180, high: 260 },
  { nodeId: "ns=2;s=Press2.StrokeRate", topic: "press2/stroke-rate", zh: "二号压力机 行程次数", en: "Press 2 stroke rate", unit: "1/min", low: 20, high: 34 },
  { nodeId: "ns=2;s=Press2.OilTemperature", topic: "press2/oil-temperature", zh: "二号压力机 油温", en: "Press 2 oil temperature", unit: "°C", low: 25, high: 58 },
  { nodeId: "ns=2;s=Furnace.ZoneTemperature", topic: "furnace/zone-temperature", zh: "加热炉 炉区温度", en: "Furnace zone temperature", unit: "°C", low: 905, high: 945 },
  { nodeId: "ns=2;s=Air.Pressure", topic: "air/pressure", zh: "压缩空气 压力", en: "Compressed air pressure", unit: "bar", low: 5.8, high: 7.6 },
];
