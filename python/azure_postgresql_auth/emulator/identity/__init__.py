"""The identity services: the Entra token endpoint, the managed identity hosts, and the faults that they can have."""
