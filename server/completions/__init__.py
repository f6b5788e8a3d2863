"""OpenAI's plain completions in vLLM's dialect: texts and token ids continued and scored, nothing searched for."""
