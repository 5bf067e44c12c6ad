"""The dashboard: pages rendered by the service over the same store calls as the API, kept live by server-sent events."""
