package main

import (
	"hash/fnv"
	"math"
	"time"
)

// A Meter is one electricity meter of the plant. Base and Swing are in kW.
type Meter struct {
	Code  string  `json:"code"`
	Zh    string  `json:"zh"`
	En    string  `json:"en"`
	Base  float64 `json:"-"`
	Swing float64 `json:"-"`
}

// A Reading is what a meter shows at a moment: power now, and energy since the day began, in all and by tariff.
type Reading struct {
	Meter
	KW     float64            `json:"kw"`
	KWh    float64            `json:"kwh"`
	Bands  map[string]float64 `json:"bands"`
	Cost   float64            `json:"cost_cny"`
	Hourly []float64          `json:"hourly_kwh"`
}

var meters = []Meter{
	{"M-01", "冲压车间", "Press shop", 180, 220},
	{"M-02", "焊装车间", "Body shop", 140, 160},
	{"M-03", "涂装车间", "Paint shop", 310, 90},
	{"M-04", "总装车间", "Final assembly", 90, 70},
	{"M-05", "空压站", "Compressed air", 120, 60},
	{"M-06", "循环水泵", "Cooling water", 75, 25},
	{"M-07", "办公楼", "Offices", 20, 60},
	{"M-08", "充电桩", "Chargers", 10, 120},
}

// Prices by tariff band, in CNY a kWh: peak, flat, valley.
var prices = map[string]float64{"peak": 1.12, "flat": 0.68, "valley": 0.31}

// band is the tariff band of an hour of the day: peak in the late morning and the evening, valley at night.
func band(hour int) string {
	switch {
	case hour >= 8 && hour < 11, hour >= 18 && hour < 21:
		return "peak"
	case hour >= 23 || hour < 7:
		return "valley"
	default:
		return "flat"
	}
}

// power is the load at a moment, in kW. It is a function of meter and time alone, so that every instance of the app
// shows the same. To read real meters, replace it and readingAt by what your meter gateway has recorded.
func (m Meter) power(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60 + float64(at.Second())/3600
	work := 1 / (1 + math.Exp(-(hour-7.5)*2)) / (1 + math.Exp((hour-19.5)*1.2))
	lunch := 1 - 0.35*math.Exp(-math.Pow((hour-12.2)/0.5, 2))
	weekend := 1.0
	if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
		weekend = 0.4
	}
	hash := fnv.New32a()
	hash.Write([]byte(m.Code))
	phase := float64(hash.Sum32()%628) / 100
	ripple := 0.06*math.Sin(float64(at.Unix())/41+phase) + 0.03*math.Sin(float64(at.Unix())/7+2*phase)
	return (m.Base + m.Swing*work*lunch*weekend) * (1 + ripple)
}

// readingAt sums the load from midnight on, minute by minute.
func (m Meter) readingAt(now time.Time) Reading {
	reading := Reading{Meter: m, KW: m.power(now), Bands: map[string]float64{"peak": 0, "flat": 0, "valley": 0}, Hourly: make([]float64, now.Hour()+1)}
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	for at := midnight; at.Before(now); at = at.Add(time.Minute) {
		step := min(now.Sub(at), time.Minute)
		energy := m.power(at.Add(step/2)) * step.Hours()
		reading.KWh += energy
		reading.Bands[band(at.Hour())] += energy
		reading.Hourly[at.Hour()] += energy
	}
	for name, energy := range reading.Bands {
		reading.Cost += energy * prices[name]
	}
	return reading
}
