"""The identity services: the Entra token endpoint, the managed identity hosts, and their faults."""
