"""Compute on Amazon ECS: one service for each tenant."""
