"""What answers requests: model server, gateway and rollout."""
