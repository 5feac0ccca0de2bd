"""Requests over the network: the transport, proxies, retries, callbacks."""
