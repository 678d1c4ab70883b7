"""Writes config.yaml into the home of this machine: the database's URL, from the secret that machines.yaml makes, and
the settings that are named.

    python deploy/aws/shared.py --region eu-central-1 --prefix landlord --ca rds.pem compute_providers=ecs

Run it again after one of them has changed, and `landlord up` or `landlord node join` after it. Settings in config.yaml
that are not named here stay. It ends with 1 and one line if the secret cannot be read or a setting is none.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from controlplane.errors import SettingsError
from controlplane.local.paths import Home, write_private
from controlplane.settings import load_settings


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--region", required=True)
    parser.add_argument("--prefix", required=True, help="the parameter Prefix of machines.yaml")
    parser.add_argument("--ca", required=True, type=Path, metavar="FILE", help="the authorities of RDS")
    parser.add_argument("settings", nargs="*", metavar="name=value", help="further lines of config.yaml")
    chosen = parser.parse_args(words)
    try:
        home = Home(load_settings().home)
        secrets = boto3.client("secretsmanager", region_name=chosen.region)
        database = secrets.get_secret_value(SecretId=f"{chosen.prefix}/database")["SecretString"]
        home.ensure()
        further = dict(setting.split("=", 1) for setting in chosen.settings)
        _write(home.root / "config.yaml", further | {"database_url": url(json.loads(database), chosen.ca)})
        load_settings()
    except (BotoCoreError, ClientError, SettingsError, ValueError, KeyError) as error:
        sys.exit(f"deploy/aws/shared.py: {error}")


def url(secret: dict[str, Any], authorities: Path) -> str:
    """Of a secret as RDS's attachment completes it. The server proves by `authorities` who it is."""
    account = f"{quote(secret['username'], safe='')}:{quote(secret['password'], safe='')}"
    verified = urlencode({"sslmode": "verify-full", "sslrootcert": authorities.resolve()})
    return f"postgresql://{account}@{secret['host']}:{secret['port']}/{secret['dbname']}?{verified}"


def _write(path: Path, lines: dict[str, str]) -> None:
    there = yaml.safe_load(path.read_text()) if path.exists() else None
    write_private(path, yaml.safe_dump((there or {}) | lines))


if __name__ == "__main__":
    main()
