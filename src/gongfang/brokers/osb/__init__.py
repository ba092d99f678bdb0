"""Brokers of others, spoken with over HTTP: the Open Service Broker API 2.17, from the platform's side."""
