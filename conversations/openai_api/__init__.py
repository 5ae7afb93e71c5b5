"""OpenAI's protocol, ``/v1/``: a persona is a model there, and a question with its history a chat completion."""
