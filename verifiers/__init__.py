"""Verifiers judge candidates or their steps. This room imports only the engines' protocol.

`protocol` says what every verifier is; each other module that defines a `VerifierConfig` is one verifier,
and one more module is one more verifier: `registry` finds it by itself.
"""
