module plant.example/energy-meter

go 1.21
