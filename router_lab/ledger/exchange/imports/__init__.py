"""Model calls as other tools logged them: LiteLLM, Langfuse, OpenTelemetry, OpenInference.

In come files; out go attempts whose inputs and answers have the same form as our own. Begin with `importing`.

Neighbours use `foreign_call` and `importing`.
"""
