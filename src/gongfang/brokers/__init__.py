"""Service brokers: the protocol by which the platform asks for services, and what speaks it."""
