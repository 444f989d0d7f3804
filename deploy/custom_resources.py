"""`python -m deploy.custom_resources FOLDER`: checks what operators take against their own schemas.

The schemas of Kubernetes come with a package; those of Strimzi, KEDA and the Prometheus operator do
not. FOLDER holds the definitions (CRDs) that they release, as YAML; every custom resource of the
rendered overlays is checked against them, and no field may be there that they do not name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from deploy.artefacts.kustomized import FOLDER

Kind = tuple[str, str]
Schemas = Mapping[Kind, Mapping[str, Any]]


def is_custom(resource: Mapping[str, Any]) -> bool:
    """Whether a resource is an operator's, and not Kubernetes's own."""
    group, slash, _ = resource["apiVersion"].partition("/")
    return bool(slash) and "." in group and not group.endswith(".k8s.io")


def schemas(definitions: Path) -> Schemas:
    """Return the schemas in a folder of definitions, by API version and kind."""
    found: dict[Kind, Mapping[str, Any]] = {}
    for path in sorted(definitions.rglob("*.yaml")):
        for definition in yaml.safe_load_all(path.read_text()):
            if definition and definition.get("kind") == "CustomResourceDefinition":
                found.update(_versions(definition["spec"]))
    return found


def problems(resources: Iterator[Mapping[str, Any]], known: Schemas) -> list[str]:
    """Return what is wrong with custom resources; one without a schema is wrong, too."""
    found = []
    for resource in filter(is_custom, resources):
        name = f"{resource['kind']} {resource['metadata']['name']}"
        schema = known.get((resource["apiVersion"], resource["kind"]))
        if schema is None:
            found.append(f"{name}: nothing defines its kind in {resource['apiVersion']}")
            continue
        for error in jsonschema.Draft4Validator(schema).iter_errors(resource):
            found.append(f"{name}: {error.json_path}: {error.message}")
    return found


def _versions(spec: Mapping[str, Any]) -> Iterator[tuple[Kind, Mapping[str, Any]]]:
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        _forbid_what_is_not_named(schema)
        schema["properties"]["metadata"] = {"type": "object"}
        yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), schema


def _forbid_what_is_not_named(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _forbid_what_is_not_named(each)
    elif isinstance(schema, dict):
        open_to_all = schema.get("x-kubernetes-preserve-unknown-fields")
        if isinstance(schema.get("properties"), dict) and not open_to_all:
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _forbid_what_is_not_named(each)


def main(arguments: list[str]) -> int:
    """Check the rendered overlays; the exit status."""
    known = schemas(Path(arguments[0]))
    overlays = sorted((FOLDER / "rendered").glob("*.yaml"))
    found = [
        f"{path.name}: {problem}"
        for path in overlays
        for problem in problems(yaml.safe_load_all(path.read_text()), known)
    ]
    print("\n".join(found) or f"{len(known)} kinds are known, and nothing is wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
