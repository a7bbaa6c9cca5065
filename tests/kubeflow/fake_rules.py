"""What the fake Kubeflow Pipelines API refuses, as the real one does."""

import json
import re

import kfp_server_api as api
import yaml

STRUCT_FIELDS = {"parameters", "pipeline_spec", "plugins_input"}
PREDICATE_FIELDS = {"operation", "key", "stringValue"}
FILTER_KEYS = {"display_name", "created_at"}


class RefusalError(Exception):
    """An error that the server answers with."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def strict(body, model):
    """Refuse what the official model class does not know, at every depth."""
    if not isinstance(body, dict):
        raise RefusalError(400, "proto: syntax error: unexpected token")
    check_fields(body, model)
    return dict(body)


def check_fields(body, model):
    fields = {
        json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()
    }
    for name, value in body.items():
        if name not in fields:
            raise RefusalError(400, f'proto: unknown field "{name}" of {model.__name__}')
        inner = getattr(api.models, fields[name], None)
        if name in STRUCT_FIELDS:
            continue
        if inner is not None and inner.openapi_types:
            if not isinstance(value, dict):
                raise RefusalError(400, f'proto: invalid value for {name}: "{value}"')
            check_fields(value, inner)
        elif inner is not None:
            if value not in inner.allowable_values:
                raise RefusalError(400, f'proto: invalid value for enum {name}: "{value}"')
        elif fields[name] == "bool" and not isinstance(value, bool):
            raise RefusalError(400, f'proto: invalid value for bool {name}: "{value}"')
        elif fields[name] == "datetime" and not re.fullmatch(r"[-\d]{10}T[:.\d]+Z", value):
            raise RefusalError(400, f'proto: invalid timestamp {name}: "{value}"')


def read_documents(text):
    documents = list(yaml.safe_load_all(text))
    specs = [each for each in documents if "pipelineInfo" in each]
    platforms = [each for each in documents if "platforms" in each]
    if len(specs) != 1 or len(specs) + len(platforms) != len(documents):
        raise RefusalError(400, "Failed to read a pipeline spec file")
    if specs[0].get("schemaVersion") != "2.1.0":
        raise RefusalError(400, "KFP only supports schema version 2.1.0")
    return specs[0], platforms[0] if platforms else None


def page(request, name, items):
    """Filter, sort and cut a list as the server does."""
    query = request.query
    unknown = set(query) - {
        "namespace", "filter", "page_token", "page_size", "sort_by", "experiment_id",
    }  # fmt: skip
    if unknown:
        raise RefusalError(400, f"unknown query {unknown}")
    items = list(items)
    for predicate in json.loads(query.get("filter") or '{"predicates": []}')["predicates"]:
        if set(predicate) != PREDICATE_FIELDS or predicate["operation"] not in {"EQUALS", 1}:
            raise RefusalError(400, f"unsupported predicate {predicate}")
        if predicate["key"] not in FILTER_KEYS:
            raise RefusalError(400, f"unrecognized field {predicate['key']}")
        items = [each for each in items if each.get(predicate["key"]) == predicate["stringValue"]]
    key, _, direction = query.get("sort_by", "").partition(" ")
    if key:
        items.sort(key=lambda each: each[key], reverse=direction == "desc")
    begin = int(query.get("page_token") or 0)
    size = int(query.get("page_size") or 20)
    shown = items[begin : begin + size]
    answer = {name: shown, "total_size": len(items)}
    if begin + size < len(items):
        answer["next_page_token"] = str(begin + size)
    return answer


def require(table, key, kind):
    if key not in table:
        raise RefusalError(404, f"{kind} {key} not found")
    return table[key]
