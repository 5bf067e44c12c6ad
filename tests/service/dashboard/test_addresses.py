"""Where pages link and lead to: always inside, and spelt as addresses are."""

from typing import Any

import pytest
from fastapi import Request

from service.dashboard.equivalents import brief
from service.dashboard.pages import address, go, inside, service_root


def request(root: str = "/ui") -> Request:
    return Request({"type": "http", "method": "GET", "path": root, "root_path": root, "headers": [], "query_string": b""})


@pytest.mark.parametrize(
    ("root", "path", "query", "expected"),
    [
        ("/ui", "", {}, "/ui/"),
        ("/ui", "jobs/1", {}, "/ui/jobs/1"),
        ("/tools/ui", "jobs", {"state": "FAILED", "name": None}, "/tools/ui/jobs?state=FAILED"),
        ("/ui", "compare", {"job": ["a", "b"]}, "/ui/compare?job=a&job=b"),
        ("/ui", "jobs", {"name": "größe & mehr?"}, "/ui/jobs?name=gr%C3%B6%C3%9Fe+%26+mehr%3F"),
        ("/ui", "jobs", {"page": 0}, "/ui/jobs?page=0"),
    ],
)
def test_addresses(root: str, path: str, query: dict[str, Any], expected: str) -> None:
    assert address(request(root), path, **query) == expected
    assert go(request(root), path, **query).headers["location"] == expected


@pytest.mark.parametrize(("root", "service"), [("/ui", ""), ("/tools/fractune/ui", "/tools/fractune")])
def test_the_service_lies_above_its_dashboard(root: str, service: str) -> None:
    assert service_root(request(root)) == service


@pytest.mark.parametrize("after", ["/ui/", "/ui/jobs/1", "/ui/jobs?name=a%20b&page=2#top"])
def test_whoever_signs_in_goes_where_he_wanted_to(after: str) -> None:
    response = inside(request(), after)
    assert (response.status_code, response.headers["location"]) == (303, after)


@pytest.mark.parametrize(
    "after",
    [
        "",
        "/",
        "/uix",
        "/v1/jobs",
        "https://evil.example/ui/",
        "//evil.example/ui/",
        "/ui\\evil",
        "/ui/\\evil.example",
        "ui/",
        " /ui/",
    ],
)
def test_nobody_is_led_elsewhere(after: str) -> None:
    assert inside(request(), after).headers["location"] == "/ui/"


@pytest.mark.parametrize("after", ["/ui/jobs?name=日本", "/ui/x\r\nSet-Cookie: a=b", "/ui/\N{SNOWMAN}", "/ui/\0"])
def test_what_no_header_may_hold_is_quoted(after: str) -> None:
    location = inside(request(), after).headers["location"]
    assert location.startswith("/ui/")
    assert location.isascii()
    assert location.isprintable()


def test_a_recipe_is_told_without_its_defaults_and_an_old_one_as_it_is() -> None:
    assert brief({"steps": [{"method": "inq"}], "seed": 0}) == {"steps": [{"method": "inq"}]}
    assert brief({"steps": [{"method": "of yesterday"}]}) == {"steps": [{"method": "of yesterday"}]}
    assert brief(None) == {}
