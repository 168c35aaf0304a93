"""Thin Faust agents and the worker that composes them."""
