"""The shared parts of the AWS providers: client factory, assumed roles, the table of refusals."""
