"""Translates between the domain and gRPC. The only place that sees both."""
