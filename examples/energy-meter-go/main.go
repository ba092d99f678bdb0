// Energy of a plant by meter: power now, kWh and cost of the day by tariff band (peak, flat, valley).
//
//	/            the page
//	/api/meters  the readings as JSON
//	/metrics     the same for Prometheus
//	/healthz     for health checks
//
// PORT: where it answers. TZ: the plant's time zone.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // the zone is known wherever this runs
)

//go:embed page.html
var page []byte

const drain = 8 * time.Second // the platform gives ten

func main() {
	log.SetFlags(0)
	port, zone := env("PORT", "8000"), plantZone()
	server := &http.Server{Addr: ":" + port, Handler: routes(zone), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}

	stopped := make(chan error, 1)
	asked, forget := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer forget()
	go func() {
		<-asked.Done()
		ends, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		stopped <- server.Shutdown(ends) // what is being answered is finished
	}()

	log.Printf("%d meters on port %s, time zone %s", len(meters), port, zone)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatalf("some requests were left unanswered: %v", err)
	}
	log.Print("stopped")
}

func routes(zone *time.Location) http.Handler {
	paths := http.NewServeMux()
	paths.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.Error(w, "没有此页面 / no such page", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	paths.HandleFunc("/api/meters", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now().In(zone)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(map[string]any{
			"at": now.Format(time.RFC3339), "instance": env("GONGFANG_INSTANCE_INDEX", "0"), "band": band(now.Hour()),
			"prices": prices, "meters": readings(now),
		})
	})
	paths.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(metrics(readings(time.Now().In(zone))))
	})
	paths.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return paths
}

func readings(now time.Time) []Reading {
	found := make([]Reading, len(meters))
	for i, meter := range meters {
		found[i] = meter.readingAt(now)
	}
	return found
}

// metrics writes the readings in Prometheus' text format. Energy begins again at midnight, as a counter may.
func metrics(found []Reading) []byte {
	var text bytes.Buffer
	fmt.Fprintln(&text, "# HELP plant_power_kilowatts Power that a meter shows now.\n# TYPE plant_power_kilowatts gauge")
	for _, each := range found {
		fmt.Fprintf(&text, "plant_power_kilowatts{meter=%q} %.3f\n", each.Code, each.KW)
	}
	fmt.Fprintln(&text, "# HELP plant_energy_kwh_total Energy since the day began.\n# TYPE plant_energy_kwh_total counter")
	for _, each := range found {
		for _, name := range []string{"peak", "flat", "valley"} {
			fmt.Fprintf(&text, "plant_energy_kwh_total{meter=%q,band=%q} %.3f\n", each.Code, name, each.Bands[name])
		}
	}
	return text.Bytes()
}

func plantZone() *time.Location {
	zone, err := time.LoadLocation(env("TZ", "Asia/Shanghai"))
	if err != nil {
		log.Fatalf("TZ: %v", err)
	}
	return zone
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
