"""Users and what they may do, plugins, and whether the plant is as it should be."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Right, Role
from cdm_inspect_review import access, admin_tables as tables, security
from cdm_inspect_review.page_state import explained, notify, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.users import User
from cdm_inspect_review.views import failure

_LONGEST_NAME, _LONGEST_PASSWORD = 128, 1024


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Of the whole plant, whichever line is chosen."""
    st.title(word("page.admin"))
    try:
        _show_health(desk)
        _show_people(desk, actor)
    except CdmInspectError as error:
        failure.show(error)
        return
    st.subheader(word("admin.rights"), anchor=False)
    st.dataframe(tables.right_rows(word), hide_index=True, width="stretch", placeholder="–")
    st.subheader(word("admin.plugins"), anchor=False)
    rows = tables.plugin_rows(current_plant().project.registry.rows, word)
    st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")


def _show_health(desk: ReviewDesk) -> None:
    st.subheader(word("admin.health"), anchor=False)
    plant, zone = current_plant(), desk.config.review.zone
    checks = plant.health()
    for problem in tables.problems(checks, word, zone):
        with st.container(border=True):
            st.text(problem)
    seen = {
        word("admin.check_login"): word(f"admin.mode_{access.mode().value}"),
        word("admin.check_hosts"): ", ".join(security.allowed_hosts()),
    }
    rows = tables.health_rows(checks, word, zone)
    state = f"– {word('admin.unknown')}"
    rows += [
        {word("admin.check"): name, word("admin.state"): state, word("admin.found"): found}
        for name, found in seen.items()
    ]
    st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    with st.expander(word("admin.packages")):
        st.dataframe(
            tables.package_rows(checks, word), hide_index=True, width="stretch", placeholder="–"
        )


def _show_people(desk: ReviewDesk, actor: Actor | None) -> None:
    st.subheader(word("admin.users"), anchor=False)
    if access.mode() is access.Mode.OIDC:
        st.text(word("admin.oidc"))
        return
    users = current_plant().accounts.users()
    if actor is not None and access.mode() is access.Mode.LOCAL:
        _show_own_password(actor)
    if actor is None or not actor.may(Right.ADMINISTER):
        st.text(word("admin.may_not"))
        return
    if users:
        rows = tables.user_rows(users, word, desk.config.review.zone)
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
        _show_change(users, actor)
    _show_add(users, actor)


def _show_own_password(actor: Actor) -> None:
    with st.expander(word("admin.own")), st.form("admin-own", clear_on_submit=True):
        st.text(word("admin.own_why"))
        old = _password(word("admin.old"), "admin-old", "current-password")
        new = _password(word("admin.new"), "admin-new")
        again = _password(word("admin.again"), "admin-again")
        is_sent = st.form_submit_button(word("admin.own_save"))
    if is_sent and new != again:
        st.text(f"✖ {word('admin.differ')}")
    elif is_sent:
        plant = current_plant()
        _do(
            lambda: plant.accounts.change_own_password(actor.name, old, new, plant.record),
            word("admin.own_done"),
        )


def _show_add(users: tuple[User, ...], actor: Actor) -> None:
    """The first user has to be one who can add others."""
    roles = list(Role) if users else [Role.ENGINEER]
    with st.expander(word("admin.add")), st.form("admin-add", clear_on_submit=True):
        if not users:
            st.text(word("admin.first_user"))
        name = st.text_input(word("admin.name"), max_chars=_LONGEST_NAME, key="admin-name")
        role = st.selectbox(word("admin.role"), roles, format_func=_role, key="admin-role")
        password = _password(word("admin.first_password"), "admin-password")
        is_sent = st.form_submit_button(word("admin.add_save"))
    if is_sent:
        plant = current_plant()
        _do(
            lambda: plant.accounts.add(name, role, password, by=actor, record=plant.record),
            word("admin.added", name=name),
        )


def _show_change(users: tuple[User, ...], actor: Actor) -> None:
    with st.expander(word("admin.change")):
        names = [user.name for user in users]
        name = st.selectbox(word("admin.user"), names, key="admin-user")
        user = users[names.index(name)]
        with st.form(f"admin-change-{user.name}-{user.epoch}", clear_on_submit=True):
            st.text(word("admin.change_why"))
            at = f"{user.name}-{user.epoch}"  # what was typed for one is nothing to another
            role = st.selectbox(
                word("admin.role"),
                list(Role),
                index=list(Role).index(user.role),
                format_func=_role,
                key=f"admin-role-{at}",
            )
            is_active = st.checkbox(
                word("admin.active"), value=user.is_active, key=f"admin-active-{at}"
            )
            password = _password(word("admin.new_or_none"), f"admin-set-{at}")
            is_sent = st.form_submit_button(word("admin.change_save"))
    if is_sent:
        plant = current_plant()
        _do(
            lambda: plant.accounts.change(
                user.name,
                role=role,
                is_active=is_active,
                password=password or None,
                by=actor,
                record=plant.record,
            ),
            word("admin.changed_done", name=user.name),
        )


def _password(label: str, key: str, kind: str = "new-password") -> str:
    found = st.text_input(
        label, type="password", max_chars=_LONGEST_PASSWORD, key=key, autocomplete=kind
    )
    return found or ""


def _role(role: Role) -> str:
    return word(f"role.{role.value}")


def _do(what: Callable[[], object], success: str) -> None:
    """Do it, and say so on the page as it is afterwards."""
    try:
        what()
    except CdmInspectError as error:
        st.text(f"✖ {explained(error)}")
        return
    notify("success", success)
    st.rerun()
