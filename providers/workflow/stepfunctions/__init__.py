"""The AWS Step Functions engine: state machines that ask step workers over SQS."""
