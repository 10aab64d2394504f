"""From traffic to alerts: samples, metrics, sequentially valid alarms, notices."""
