"""Keys, sessions, tickets, identities and the audit log; on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from workers.errors import Conflict, NotFound, Unauthenticated
from workers.jobs.records import ApiKey, Role
from workers.jobs.store import Store

DAY, PAST = 86400.0, -1.0


def made(store: Store, key_id: str, role: Role = Role.OPERATOR, expires_in_s: float | None = None) -> ApiKey:
    return store.keys.add(key_id, f"digest of {key_id}", f"{key_id}'s", role, "test", expires_in_s)


def test_a_key_comes_back_with_its_digest(store: Store, unique: str) -> None:
    key = made(store, unique)
    assert store.keys.valid(unique) == (key, f"digest of {unique}")
    assert (key.project, key.expires_at, key.revoked_at, key.used_at) == ("common", None, None, None)
    assert f"digest of {unique}" not in repr(key)


@pytest.mark.parametrize(("expires_in_s", "valid"), [(None, True), (DAY, True), (PAST, False)])
def test_a_key_ends(store: Store, unique: str, expires_in_s: float | None, valid: bool) -> None:
    made(store, unique, expires_in_s=expires_in_s)
    assert (store.keys.valid(unique) is not None) == valid


def test_a_revoked_key_opens_nothing_and_stays_on_the_list(store: Store, unique: str) -> None:
    made(store, unique)
    revoked = store.keys.revoke(unique)
    assert revoked.revoked_at is not None
    assert store.keys.valid(unique) is None
    assert store.keys.revoke(unique) == revoked  # once more changes nothing
    assert unique in {key.id for key in store.keys.page(limit=1000).items}


def test_what_is_not_there_cannot_be_revoked(store: Store, unique: str) -> None:
    assert store.keys.valid(unique) is None
    with pytest.raises(NotFound, match=unique):
        store.keys.revoke(unique)


def test_the_last_administrator_stays(store: Store, unique: str) -> None:
    for key in store.keys.page(limit=1000).items:
        if key.role == Role.ADMIN and key.revoked_at is None:
            pytest.fail("another test left an administrator")
    first, passing, second = (f"{unique}{n}" for n in range(3))
    made(store, first, Role.ADMIN)
    made(store, passing, Role.ADMIN, DAY)
    made(store, f"{unique}operator")
    with pytest.raises(Conflict, match="last administrator's"):  # one that expires locks everybody out in the end
        store.keys.revoke(first)
    store.keys.revoke(passing)
    made(store, second, Role.ADMIN)
    with ThreadPoolExecutor(2) as pool:  # both at once must not leave none
        outcomes = list(pool.map(lambda key: _revoked(store, key), (first, second)))
    assert sorted(outcomes) == [False, True]
    _discard_administrators(store)


def _revoked(store: Store, key: str) -> bool:
    try:
        store.keys.revoke(key)
    except Conflict:
        return False
    return True


def _discard_administrators(store: Store) -> None:
    """Let the other tests of the module begin without."""
    ids = [key.id for key in store.keys.page(limit=1000).items if key.role == Role.ADMIN and key.revoked_at is None]
    for key in ids:
        assert not _revoked(store, key)


def test_use_is_noted_to_the_minute(store: Store, unique: str) -> None:
    key = made(store, unique)
    store.keys.used(key)
    noted = store.keys.valid(unique)
    assert noted is not None
    assert noted[0].used_at is not None
    store.keys.used(noted[0])
    store.keys.used(key)  # by a process that has not heard of it
    assert store.keys.valid(unique) == noted


# sessions


def test_a_session_stands_for_its_key_until_it_is_closed(store: Store, unique: str) -> None:
    key = made(store, unique)
    store.sessions.open(f"s {unique}", unique, DAY)
    assert store.sessions.holder(f"s {unique}") == key
    assert store.sessions.holder("another") is None
    assert [store.sessions.close(f"s {unique}") for _ in range(2)] == [True, False]
    assert store.sessions.holder(f"s {unique}") is None


def test_a_session_ends_with_its_time_and_with_its_key(store: Store, unique: str) -> None:
    made(store, unique)
    store.sessions.open(f"old {unique}", unique, PAST)
    store.sessions.open(f"new {unique}", unique, DAY)
    assert store.sessions.holder(f"old {unique}") is None
    store.keys.revoke(unique)
    assert store.sessions.holder(f"new {unique}") is None


# tickets


def test_a_ticket_is_redeemed_once(store: Store, unique: str) -> None:
    key = made(store, unique)
    store.tickets.issue(f"t {unique}", unique, DAY)
    with ThreadPoolExecutor(4) as pool:
        holders = list(pool.map(lambda _: store.tickets.redeem(f"t {unique}"), range(4)))
    assert [holder for holder in holders if holder is not None] == [key]


def test_a_ticket_that_is_late_or_of_a_dead_key_is_worth_nothing(store: Store, unique: str) -> None:
    made(store, unique)
    store.tickets.issue(f"late {unique}", unique, PAST)
    store.tickets.issue(f"dead {unique}", unique, DAY)
    store.keys.revoke(unique)
    assert [store.tickets.redeem(f"{what} {unique}") for what in ("late", "dead", "forged")] == [None] * 3


# people whom an identity provider vouches for


def test_a_person_has_one_key_with_the_role_of_now(store: Store, unique: str) -> None:
    first = store.identities.admit(unique, f"person {unique}", "Ann", Role.VIEWER, "common", DAY)
    second = store.identities.admit(unique, f"person {unique}", "Ann Smith", Role.OPERATOR, "vision", DAY)
    assert (second.name, second.role, second.project) == ("Ann Smith", Role.OPERATOR, "vision")
    assert (second.id, second.created_at) == (first.id, first.created_at)
    assert store.keys.valid(unique) == (second, "-")


def test_a_person_who_was_shut_out_stays_out(store: Store, unique: str) -> None:
    store.identities.admit(unique, f"person {unique}", "Ann", Role.VIEWER, "common", DAY)
    store.keys.revoke(unique)
    with pytest.raises(Unauthenticated):
        store.identities.admit(unique, f"person {unique}", "Ann", Role.VIEWER, "common", DAY)


def test_nobody_gets_the_key_of_another(store: Store, unique: str) -> None:
    made(store, unique)
    with pytest.raises(Unauthenticated):
        store.identities.admit(unique, "somebody else", "Eve", Role.ADMIN, "common", DAY)
    kept = store.keys.valid(unique)
    assert kept is not None
    assert kept[0].role == Role.OPERATOR


def test_a_sign_in_is_spent_once_while_it_lasts(store: Store, unique: str) -> None:
    assert [store.identities.spend(f"n {unique}", DAY) for _ in range(3)] == [True, False, False]
    assert [store.identities.spend(f"old {unique}", PAST) for _ in range(2)] == [True, True]  # forgotten: it is too old anyway


# audit


def test_the_audit_log_is_read_backwards(store: Store, unique: str) -> None:
    for status in (200, 201, 202):
        store.audit.note(unique, "::1", "POST /v1/jobs", f"/v1/jobs?{unique}", status)
    store.audit.note(f"{unique}x", "::1", "DELETE /v1/keys/{id}", "/v1/keys/1", 403)
    newest, middle, oldest = store.audit.page(actor=unique)
    assert [newest.status, middle.status, oldest.status] == [202, 201, 200]
    assert (oldest.actor, oldest.address, oldest.action, oldest.target) == (
        unique,
        "::1",
        "POST /v1/jobs",
        f"/v1/jobs?{unique}",
    )
    assert store.audit.page(before=newest.id, limit=1, actor=unique) == [middle]
    assert store.audit.page(before=oldest.id, actor=unique) == []
