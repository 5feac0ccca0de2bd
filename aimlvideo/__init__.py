"""Asyncio-native client and bulk runner for hosted AI video generation."""
