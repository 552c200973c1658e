"""Who may log in: local users, in a file.

Passwords are kept as scrypt hashes (Percival and Josefsson, RFC 7914). Loads without torch and
without the store.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cdm_inspect.errors import AccessError, CdmInspectError, NotAllowed, StorageError
from cdm_inspect.files import locked, write_durably
from cdm_inspect.records import Event
from cdm_inspect.roles import Actor, Right, Role
from cdm_inspect_review.sessions import lock_of, read_private
from cdm_inspect_review.throttle import LoginThrottle

USERS_FILE = "users.json"

_LONGEST_NAME = 128
_SHORTEST_PASSWORD = 8
_LONGEST_PASSWORD = 1024
_MOST_MEMORY = 2**29
"""Bytes that one hash may take; more in a file would be an attack or damage."""
_AT_ONCE = 2
"""Passwords checked at a time: each takes 32 MiB and a core."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Which glyph of a character is meant: nothing that two names could differ by on a screen.
_SELECTORS = dict.fromkeys([*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])


class User(BaseModel):
    """Somebody who may log in.

    Attributes:
        name: under which things are recorded, as it was given.
        role: to the plant.
        is_active: whether they may log in now; nobody is ever deleted, for the record names them.
        changed_at: when somebody last changed the password, the role or this.
        epoch: raised by every such change, which ends the sessions that began before. It starts at
            the time, so that a user made anew in a new file revives no session either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    role: Role
    is_active: bool = True
    changed_at: AwareDatetime
    epoch: Annotated[int, Field(ge=1)]

    @property
    def actor(self) -> Actor:
        """The person at the desk."""
        return Actor(self.name, self.role)


class _PasswordHash(BaseModel):
    """What is kept of a password, with the effort that it took.

    Attributes:
        n: cost in time and memory, a power of two.
        r: block size.
        p: how often in parallel.
        salt: random, hexadecimal.
        hash: 32 bytes, hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    scheme: Literal["scrypt"] = "scrypt"
    n: Annotated[int, Field(ge=2**14)] = 2**15
    r: Annotated[int, Field(ge=8)] = 8
    p: Annotated[int, Field(ge=1, le=16)] = 1
    salt: Annotated[str, Field(pattern="^([0-9a-f]{2}){16,64}$")]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _effort_is_possible(self) -> Self:
        if self.n & (self.n - 1) or 128 * self.n * self.r > _MOST_MEMORY:
            raise ValueError("n is no power of two, or the hash takes too much memory")
        return self

    @classmethod
    def of(cls, password: str) -> Self:
        made = cls(salt=secrets.token_hex(16), hash="0" * 64)
        return made.model_copy(update={"hash": made._hash(password)})

    def fits(self, password: str) -> bool:
        return hmac.compare_digest(self._hash(password), self.hash)

    def _hash(self, password: str) -> str:
        return hashlib.scrypt(
            # Keyboards differ in how they compose the same characters.
            unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass"),
            salt=bytes.fromhex(self.salt),
            n=self.n,
            r=self.r,
            p=self.p,
            maxmem=2 * 128 * self.r * (self.n + self.p),
            dklen=32,
        ).hex()


class _Account(User):
    password: Annotated[_PasswordHash, Field(repr=False)]

    @property
    def user(self) -> User:
        return User(**self.model_dump(exclude={"password"}))


class _UsersFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    format: Literal[1] = 1
    users: Annotated[list[_Account], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_sound(self) -> Self:
        for user in self.users:
            try:
                is_sound = checked_name(user.name) == user.name
            except AccessError:
                is_sound = False
            if not is_sound:
                raise ValueError("a name is not as `users add` would have written it")
        if len({_key(user.name) for user in self.users}) != len(self.users):
            raise ValueError("two users have the same name")
        return self


class _Kept:
    """The file of the users."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[tuple[int, ...], dict[str, _Account]] | None = None

    def read(self) -> dict[str, _Account]:
        """All accounts by key. The file is only ever replaced as a whole, so its status tells."""
        status: tuple[int, ...] = ()
        with contextlib.suppress(OSError):  # reading says what it is
            found = self.path.stat()
            status = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        known = self._known
        if status and known is not None and known[0] == status:
            return dict(known[1])
        data = read_private(self.path)
        if data is None:
            return {}
        try:
            file = _UsersFile.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise AccessError(
                f"{self.path} is damaged, or of a later version ({where}: {first['msg']}), and "
                "nobody can log in. Restore it from a backup; or move it away and add the users "
                "anew with `cdm-inspect users add`."
            ) from error
        accounts = {_key(user.name): user for user in file.users}
        self._known = (status, accounts)
        return dict(accounts)

    def keep(
        self,
        accounts: Mapping[str, _Account],
        account: _Account,
        event: Event,
        record: Callable[[Event], None],
    ) -> None:
        """Record what is about to be done, then do it: nothing is ever done unrecorded."""
        file = _UsersFile(users=list({**accounts, _key(account.name): account}.values()))
        record(event)
        try:
            write_durably(self.path, file.model_dump_json(indent=1).encode(), is_private=True)
        except (AccessError, StorageError) as error:
            with contextlib.suppress(CdmInspectError):  # what went wrong first matters more
                facts = {"user": account.name, "is_done": False}
                record(replace(event, facts=facts, reason=f"not done: {error}"))
            raise


class Accounts:
    """The local users of a plant, in one file that only the plant's own programs can read.

    May be used by several threads, and the file by several processes. Failed logins are counted in
    memory: after 5 in a row for a name, or 20 from one address, the next has to wait, longer each
    time and at most a minute. Whoever has logged in from an address is counted by themselves there,
    so that nobody else can keep them out.

    Args:
        path: of the file; it need not be there.
        clock: seconds, from whenever, for the waiting.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._file = path, _Kept(path)
        self._throttle = LoginThrottle(clock)
        self._working = threading.BoundedSemaphore(_AT_ONCE)

    @property
    def exist(self) -> bool:
        """Whether there are any users, active or not.

        Raises:
            AccessError: if the file is there and cannot be trusted; see `users`.
        """
        return bool(self._file.read())

    def users(self) -> tuple[User, ...]:
        """All users, by name.

        Raises:
            AccessError: if the file is damaged, or others can read or change it.
        """
        accounts = self._file.read()
        return tuple(accounts[key].user for key in sorted(accounts))

    def add(
        self,
        name: str,
        role: Role,
        password: str,
        *,
        by: Actor,
        record: Callable[[Event], None],
    ) -> User:
        """Let somebody log in.

        Args:
            name: 1 to 128 characters; kept in the composed form (NFC).
            role: to the plant.
            password: of at least 8 characters.
            by: who does this.
            record: keeps what was done, such as `VerdictStore.record_event`; if it raises, nothing
                is done.

        Raises:
            AccessError: if the name is taken or it or the password cannot be used; or as `users`.
            NotAllowed: if `by` may not administer users.
            StorageError: if the file cannot be written, or what was done not recorded.
        """
        by.require(Right.ADMINISTER)
        name = checked_name(name)
        account = _Account(
            name=name,
            role=role,
            password=_hash_of(password, name),
            changed_at=dt.datetime.now(dt.UTC),
            epoch=int(time.time()),
        )
        with locked(lock_of(self.path)):
            accounts = self._file.read()
            if taken := accounts.get(_key(name)):
                raise AccessError(
                    f"there is a user {taken.name!r} already"
                    f"{'' if taken.is_active else ', who may not log in'}. Change that one, or "
                    "give another name."
                )
            self._file.keep(accounts, account, _event("add-user", account, by), record)
        return account.user

    def change(
        self,
        name: str,
        *,
        role: Role | None = None,
        password: str | None = None,
        is_active: bool | None = None,
        by: Actor,
        record: Callable[[Event], None],
    ) -> User:
        """Change what is given; it ends the sessions of the user. Arguments as for `add`.

        Raises:
            AccessError: if there is no such user, the password cannot be used, or nobody active
                would be left who may administer users; or as `users`.
            NotAllowed: if `by` may not administer users.
            StorageError: if the file cannot be written, or what was done not recorded.
        """
        by.require(Right.ADMINISTER)
        new_hash = None if password is None else _hash_of(password, name)
        given = {"role": role, "password": new_hash, "is_active": is_active}
        return self._change(name, given, by, record)

    def change_own_password(
        self, name: str, old: str, new: str, record: Callable[[Event], None]
    ) -> User:
        """As `change`, by the user, who shows the old password; a wrong one is counted as a login.

        Raises:
            NotAllowed: if the old password is wrong, or the user may not log in.
        """
        new_hash = _hash_of(new, name)
        user = self.check(name, old)
        if user is None:
            raise NotAllowed("the old password is wrong. Nothing was changed; type it again.")
        return self._change(name, {"password": new_hash}, user.actor, record, user.epoch)

    def _change(
        self,
        name: str,
        given: Mapping[str, Any],
        by: Actor,
        record: Callable[[Event], None],
        epoch: int | None = None,
    ) -> User:
        """Change what is given and not None; only if the user has still that epoch, where given."""
        with locked(lock_of(self.path)):
            accounts = self._file.read()
            before = accounts.get(_key(name))
            if before is None or epoch not in (None, before.epoch):
                raise AccessError(
                    f"there is no user {name!r}{'' if before is None else ' as it was'}. "
                    "`cdm-inspect users list` names all of them."
                )
            changed = {
                key: value
                for key, value in given.items()
                if value is not None and value != getattr(before, key)
            }
            if not changed:
                return before.user
            after = before.model_copy(
                update={
                    **changed,
                    "changed_at": dt.datetime.now(dt.UTC),
                    "epoch": max(before.epoch + 1, int(time.time())),
                }
            )
            _require_engineer(before, {**accounts, _key(name): after}.values())
            event = _event("change-user", after, by, sorted(changed), before)
            self._file.keep(accounts, after, event, record)
        return after.user

    def check(self, name: str, password: str, *, address: str = "") -> User | None:
        """The active user of that name and password; takes as long whether or not there is one.

        Args:
            address: from which they log in; "" if that tells nothing.

        Raises:
            AccessError: if so many logins have failed that this one has to wait, which says
                nothing of whether there is such a user; or as `users`.
        """
        accounts = self._file.read()
        key = _key(name)
        self._throttle.admit(key, address)
        if not accounts:
            return None
        # For an unknown name, the effort that one of the users takes, always the same one.
        stand_in = sorted(accounts)[zlib.crc32(key.encode("utf-8", "replace")) % len(accounts)]
        account = accounts.get(key)
        with self._working:
            fits = (account or accounts[stand_in]).password.fits(password[:_LONGEST_PASSWORD])
        if account is None or not account.is_active or not fits:
            return None
        if len(password) > _LONGEST_PASSWORD:
            return None
        self._throttle.forgive(key, address)
        return account.user

    def actor(self, name: str, epoch: int) -> Actor | None:
        """Whoever has a session goes on as; None if they changed, or may not log in any more.

        Raises:
            AccessError: as `users`.
        """
        account = self._file.read().get(_key(name))
        if account is None or not account.is_active or account.epoch != epoch:
            return None
        return account.actor


def checked_name(text: str) -> str:
    """A name of a person as it is kept: composed (NFC), with single spaces.

    Raises:
        AccessError: if it is empty, too long, or has characters that cannot be seen.
    """
    # The parts of composed characters count before they are composed; no more is looked at.
    name = " ".join(unicodedata.normalize("NFC", text[: 8 * _LONGEST_NAME]).split())
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise AccessError(
            f"expected a name of 1 to {_LONGEST_NAME} characters, found {len(name)}. Give another."
        )
    # Controls, formats (bidi and zero-width ones among them), halves of pairs, private use,
    # unassigned, and separators of lines: with them two names could look the same.
    unseen = [c for c in name if unicodedata.category(c) in _UNSEEN]
    if unseen:
        raise AccessError(
            f"the name {name!r} has characters that cannot be seen or turn the writing around "
            f"({', '.join(f'U+{ord(c):04X}' for c in unseen[:3])}). Type it anew."
        )
    return name


def _key(name: str) -> str:
    """What two spellings of the same name share: case, composition, width, variants of a glyph."""
    text = unicodedata.normalize("NFKC", name[: 8 * _LONGEST_NAME]).casefold()
    return " ".join(unicodedata.normalize("NFKC", text).translate(_SELECTORS).split())


def _hash_of(password: str, name: str) -> _PasswordHash:
    length = len(unicodedata.normalize("NFKC", password[: _LONGEST_PASSWORD + 1]))
    if length < _SHORTEST_PASSWORD or len(password) > _LONGEST_PASSWORD:
        raise AccessError(
            f"expected a password of {_SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters. Any "
            "will do; several words are easy to remember and hard to guess."
        )
    if _key(password) == _key(name):
        raise AccessError("the password is the name, which anybody would try. Choose another.")
    return _PasswordHash.of(password)


def _require_engineer(before: _Account, after: Iterable[_Account]) -> None:
    """Refuse a change after which nobody is left who may undo it."""

    def may_administer(account: _Account) -> bool:
        return account.is_active and account.actor.may(Right.ADMINISTER)

    if may_administer(before) and not any(map(may_administer, after)):
        raise AccessError(
            f"{before.name!r} is the last active engineer, and nobody else may look after users. "
            "Make somebody else an engineer first. Nothing was changed."
        )


def _event(
    action: str,
    account: _Account,
    by: Actor,
    changed: Sequence[str] = (),
    before: _Account | None = None,
) -> Event:
    facts: dict[str, Any] = {
        "user": account.name,
        "role": account.role.value,
        "is_active": account.is_active,
    }
    if before is not None:
        facts["changed"] = list(changed)
        facts["before"] = {"role": before.role.value, "is_active": before.is_active}
    return Event(action=action, who=by.name, role=by.role.value, facts=facts)
