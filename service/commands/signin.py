"""fractune signin: a link that opens the dashboard."""

from urllib.parse import urljoin

from service.terminal import options, remote
from service.terminal.console import output, print_json


def signin(as_json: options.AsJson = False, url: remote.Url = None, key: remote.Key = None) -> None:
    """Print a link that opens the dashboard in a browser, once and within ten minutes."""
    with remote.connect(url, key) as client:
        link = urljoin(f"{remote.service_address(url)}/", client.signin_path())
    if as_json:
        print_json({"link": link})
    else:
        output.print(link, highlight=False, soft_wrap=True)
