"""WHO IS TOLD what happens: logs, metrics, traces, alerts. A hook never changes what happens to a run."""
