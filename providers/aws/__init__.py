"""What the AWS providers share: client factory, assumed roles, the table of refusals."""
