"""fractune signin: a link that opens the dashboard."""

from urllib.parse import urljoin

from service.embedded import local_service
from service.terminal import remote
from service.terminal.console import output


def signin(url: remote.Url = None, key: remote.Key = None) -> None:
    """Print a link that opens the dashboard in a browser, once and within ten minutes."""
    base = url or local_service.read_local_service(local_service.data_dir()).url
    with remote.connect(url, key) as client:
        output.print(urljoin(f"{base}/", client.signin_path()), highlight=False, soft_wrap=True)
