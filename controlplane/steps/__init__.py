"""The steps of an execution: effects, through ports, behind the gate."""
