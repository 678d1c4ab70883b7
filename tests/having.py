"""What people bring along, what they get for it, and the test for it. `python -m tests.having` prints the page."""

from collections.abc import Sequence

INTRODUCTION = """# What you may have, and what you get

What people who run systems of this kind bring along, and what it comes to here. Each line names the test that shows it;
the page is made from that list (`python -m tests.having`).
"""
DOCKER = "tests/contract/docker/test_docker_"
HAVING: Sequence[tuple[str, Sequence[tuple[str, str, str]]]] = (
    (
        "Engines",
        (
            (
                "Docker Engine on another machine, by TLS",
                "endpoints and probes at that machine's address",
                f"{DOCKER}remote.py:test_endpoints_and_probes_are_at_its_address",
            ),
            (
                "the same by ssh",
                "keys, known hosts and aliases of your `~/.ssh/config`",
                f"{DOCKER}remote.py:test_ssh_takes_hosts_and_keys_from_the_configuration_of_ssh",
            ),
            (
                "a port on its loopback, with a probe",
                "400, which says where to publish it",
                f"{DOCKER}remote.py:test_a_port_on_its_loopback_is_refused_where_it_would_be_probed",
            ),
            (
                "a tunnel or a proxy before the engine",
                "`LANDLORD_DOCKER_ADDRESS`",
                f"{DOCKER}remote.py:test_a_setting_says_where_ports_are_reached_behind_a_tunnel",
            ),
            (
                "certificates that are missing, or of another authority",
                "which files are missing, or why it is refused",
                f"{DOCKER}remote.py:test_what_is_wrong_with_certificates_is_said",
            ),
            (
                "a context of the docker command",
                "found as the docker command finds it",
                f"{DOCKER}remote.py:test_a_context_of_the_docker_command_is_found",
            ),
            (
                "an engine that is upgraded meanwhile",
                "the version of its API is agreed on again",
                f"{DOCKER}upgrade.py:test_the_version_is_agreed_on_again_once_it_is_refused",
            ),
            (
                "`live-restore`",
                "containers outlive the engine, and are found again",
                f"{DOCKER}upgrade.py:test_containers_outlive_the_engine_and_are_found_again",
            ),
            (
                "five hundred tenants on one engine",
                "a network for each",
                f"{DOCKER}networks.py:test_five_hundred_tenants_have_networks_on_one_engine",
            ),
            (
                "a proxy for what leaves your network",
                "AWS is asked through it",
                "tests/contract/test_proxies.py:test_aws_is_asked_through_the_proxy",
            ),
            (
                "the same, and tenants and engines inside",
                "asked directly",
                "tests/contract/test_proxies.py:test_nothing_else_goes_through_it",
            ),
        ),
    ),
    (
        "Images, networks and volumes",
        (
            (
                "user, entrypoint, labels, tmpfs, ulimits and more",
                "the container has all of it",
                f"{DOCKER}surroundings.py:test_a_container_has_all_of_it",
            ),
            (
                "`stop_grace_seconds`",
                "that time to end",
                f"{DOCKER}surroundings.py:test_a_container_has_the_time_to_end_that_it_asked_for",
            ),
            (
                "a router on the tenant's network",
                "disconnected by a delete, which ends",
                f"{DOCKER}networks.py:test_a_strangers_container_on_the_network_is_disconnected_and_the_network_goes",
            ),
            (
                "a backup that uses the tenant's volume",
                "that volume alone is kept, and named",
                f"{DOCKER}networks.py:test_a_strangers_container_on_a_volume_is_named_and_holds_nothing_else",
            ),
            (
                "a registry that stalls",
                "costs the attempt, and nobody else",
                f"{DOCKER}images.py:test_a_registry_that_stalls_costs_the_attempt_and_no_thread",
            ),
        ),
    ),
    (
        "ECS",
        (
            (
                "load balancers, Cloud Map, Service Connect, capacity providers",
                "made with the service, in AWS's words",
                "tests/contract/ecs/test_ecs_services.py:test_what_stands_around_a_service_is_made_with_it",
            ),
            (
                "classic load balancers, blue/green, names in Service Connect",
                "400 with the reason",
                "tests/unit/test_ecs_config.py:test_what_cannot_stand_around_one_says_why",
            ),
            (
                "a target group that others may share",
                "400, unless `LANDLORD_ECS_TARGETS` lists it",
                "tests/unit/test_ecs_config.py:test_what_others_may_share_takes_a_setting",
            ),
        ),
    ),
    (
        "Health",
        (
            (
                "a server that checks `Host`",
                "`health.http.host`",
                "tests/integration/test_probe_servers.py:test_a_server_that_checks_host_is_well_once_the_spec_names_it",
            ),
            (
                "a server that speaks only TLS",
                "`health.http.scheme`",
                "tests/integration/test_probe_servers.py:"
                "test_a_server_that_speaks_only_tls_with_a_certificate_of_its_own",
            ),
        ),
    ),
    (
        "Postgres",
        (
            (
                "PgBouncer in session mode",
                "works",
                "tests/integration/test_postgres_bought.py:test_pgbouncer_in_session_mode",
            ),
            (
                "PgBouncer in transaction mode",
                "refused in one line",
                "tests/integration/test_postgres_bought.py:test_pgbouncer_in_transaction_mode_is_refused_in_one_line",
            ),
            (
                "a fail-over, a full disk",
                "503, and well again without a restart",
                "tests/integration/test_postgres_bought.py:"
                "test_a_full_disk_is_unavailable_and_well_again_when_it_has_room",
            ),
        ),
    ),
    (
        "Clients",
        (
            (
                "selectors as kubectl writes them",
                "find what they match, or 400",
                "tests/integration/test_api_http.py:test_a_selector_finds_what_it_matches",
            ),
            (
                "a query parameter that is not there",
                "400 that lists those that are",
                "tests/integration/test_api_http.py:test_a_parameter_that_is_not_there_is_refused",
            ),
            ("TypeScript", "a generated client", "tests/integration/test_api_clients.py:test_typescript"),
            ("Python", "a generated client", "tests/integration/test_api_clients.py:test_python"),
            ("Go", "a generated client", "tests/integration/test_api_clients.py:test_go"),
            ("Java", "a generated client, with HTTP/1.1", "tests/integration/test_api_clients.py:test_java"),
        ),
    ),
)


def as_markdown() -> str:
    parts = [INTRODUCTION]
    for title, lines in HAVING:
        rows = "\n".join(f"| {what} | {get} | `{test}` |" for what, get, test in lines)
        parts.append(f"## {title}\n\n| you have | you get | shown by |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(as_markdown(), end="")
