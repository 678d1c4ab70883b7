"""`python -m controlplane.api > docs/openapi.json` writes the committed OpenAPI document."""

import json

from controlplane.api.app import bare_app

print(json.dumps(bare_app().openapi(), indent=2, ensure_ascii=False))
