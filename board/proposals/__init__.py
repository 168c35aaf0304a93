"""Proposals: what takes two people (R17) starts as one, and another person approves or declines it."""
