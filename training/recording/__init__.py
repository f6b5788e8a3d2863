"""What a run tells while it goes: figures as JSON lines and TensorBoard events, and what the policy writes."""
