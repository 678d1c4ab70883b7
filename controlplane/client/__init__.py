"""What the command makes of `landlord_client`: which control plane it calls, and what it reads from many answers."""
