"""What can be seen of a running gateway: logs, metrics, traces, and the answers to errors."""
