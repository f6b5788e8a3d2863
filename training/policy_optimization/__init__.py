"""What GRPO and PPO have in common: prompts, samples of the policy as it is, their rewards, and updates from them."""
