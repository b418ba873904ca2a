"""Random but valid specifications: the same number gives the same one."""

import random
from typing import Any, Dict, List

PATTERNS = {
    "database": ["auto", "schema_change", "expand_contract", "parallel_schema", "event_sourcing", "dual_write", "cdc",
                 "data_migration", None, {"primary": "expand_contract", "with": ["cdc"]}],
    "data": ["auto", "cdc", "data_migration", "dual_write", None],
    "service": ["auto", "strangler_fig", "parallel_run", "blue_green", "canary", None],
    "api": ["auto", "strangler_fig", "canary", "expand_contract"],
    "infrastructure": ["auto", "lift_and_shift", "hybrid_cloud", "multi_cloud", "cloud_migration", "blue_green", None],
}
ENGINES = ["PostgreSQL 13", "PostgreSQL 15", "PostgreSQL 17", "MySQL 5.7", "MySQL 8.0", "MariaDB 10.11", "Oracle 19"]
PLACES = ["on-premises", "AWS", "Azure", "GCP"]
NAMES = ["users", "orders", "order_items", "audit_log", "payments", "sessions", "products"]
COLUMNS = [("id", "bigint"), ("email", "varchar(255)"), ("note", "text"), ("total", "numeric(12,2)"),
           ("ip_address", "inet"),
           ("card_number", "varchar(19)"), ("created_at", "timestamp")]


def generate(number: int) -> Dict[str, Any]:
    dice = random.Random(number)
    kind = dice.choice(["database"] * 3 + ["service", "service", "infrastructure", "infrastructure", "data", "api"])
    spec: Dict[str, Any] = {"type": kind, "source": system(dice, kind), "target": system(dice, kind)}
    pattern = dice.choice(PATTERNS[kind])
    if pattern:
        spec["pattern"] = pattern
    spec["constraints"] = constraints(dice)
    if kind in ("database", "data"):
        spec.update(schema(dice))
    if kind in ("service", "api"):
        spec.update(service(dice))
    if kind == "infrastructure":
        spec["workloads"] = workloads(dice)
    maybe(dice, spec, "network", lambda: {"bandwidth_gbps": dice.choice([0.1, 1, 10])})
    maybe(dice, spec, "business_continuity", lambda: windows(dice))
    maybe(dice, spec, "readiness", lambda: {"rehearsal": dice.choice(["none", "planned", "partial", "full"]),
                                            "rollback_tested": dice.random() < 0.5})
    maybe(dice, spec, "team", lambda: {"size": dice.randint(1, 9), "timezone": dice.choice(["UTC", "Europe/Berlin"]),
                                       "experience_similar_migrations": dice.randint(0, 5)})
    maybe(dice, spec, "monitoring", lambda: {"critical_metrics": ["error_rate", "p95_ms", "queue depth"],
                                             "alert_thresholds": {"error_rate": 0.01}})
    maybe(dice, spec, "rollback_triggers", lambda: [
        {"metric": dice.choice(["error_rate", "cpu_usage", "refunds"]), "threshold": 0.05,
         "action": "automatic_rollback"}])
    return spec


def maybe(dice: random.Random, spec: Dict[str, Any], key: str, value: Any) -> None:
    if dice.random() < 0.6:
        spec[key] = value()


def system(dice: random.Random, kind: str) -> Any:
    if kind in ("service", "api"):
        return dice.choice(["Legacy shop", "Shop 2 (Kubernetes)", "Account service"])
    if kind == "infrastructure":
        return dice.choice(["Data centre (VMware)", "AWS", "Azure", "AWS and Azure"])
    engine, place = dice.choice(ENGINES), dice.choice(PLACES)
    if dice.random() < 0.5:
        return f"{engine} {place}"
    return {"engine": engine.split()[0], "version": engine.split()[1], "location": place}


def constraints(dice: random.Random) -> Dict[str, Any]:
    found: Dict[str, Any] = {"max_downtime_minutes": dice.choice([0, 1, 30, 60, 240, 2880]),
                             "data_volume_gb": dice.choice([2, 90, 800, 5000, 20000])}
    names = dice.sample(["web", "billing", "reports", "search", "mailer", "etl"], dice.randint(0, 6))
    found["dependencies"] = [name if dice.random() < 0.5 else {
        "name": name, "owner": f"{name} team", "direction": dice.choice(["read", "write", "both"]),
        "can_pause": dice.random() < 0.5} for name in names]
    maybe(dice, found, "compliance_requirements", lambda: dice.sample(["GDPR", "SOX", "HIPAA", "PCI_DSS", "SOC2"], 2))
    maybe(dice, found, "special_requirements", lambda: dice.sample(
        ["zero_data_loss", "referential_integrity", "session_continuity", "our own rule"], 2))
    return found


def schema(dice: random.Random) -> Dict[str, Any]:
    tables: List[Dict[str, Any]] = []
    for name in dice.sample(NAMES, dice.randint(0, 5)):
        rows = dice.choice([1000, 400000, 60000000])
        tables.append({"name": name, "row_count": rows, "size_mb": rows * dice.choice([100, 600, 2500]) / 1e6,
                       "critical": dice.random() < 0.5, "primary_key": dice.random() < 0.9,
                       "columns": [{"name": n, "type": t} for n, t in dice.sample(COLUMNS, 3)]})
    names = [table["name"] for table in tables] or NAMES[:2]
    changes = [{"table": dice.choice(names), "changes": [change(dice) for _ in range(dice.randint(1, 3))]}
               for _ in range(dice.randint(0, 4))]
    return {"tables_to_migrate": tables, "schema_changes": changes,
            "performance_requirements": {"transactions_per_second": dice.choice([10, 500, 4000])}}


def change(dice: random.Random) -> Dict[str, Any]:
    column = dice.choice(["region", "status", "phone", "amount"])
    return dice.choice([
        {"type": "add_column", "column": column, "data_type": "varchar(20)", "nullable": True},
        {"type": "add_column", "column": column, "data_type": "integer", "nullable": False, "default": 0},
        {"type": "add_column", "column": column, "data_type": "text", "nullable": False, "backfill": "'x'"},
        {"type": "modify_column", "column": column, "old_type": "varchar(20)", "new_type": "varchar(40)"},
        {"type": "modify_column", "column": column, "old_type": "text", "new_type": "integer"},
        {"type": "rename_column", "column": column, "new_name": column + "_code", "data_type": "text"},
        {"type": "drop_column", "column": column}, {"type": "add_index", "columns": [column]},
        {"type": "add_constraint", "constraint_type": "CHECK", "definition": f"{column} IS NOT NULL"},
        {"type": "split_table"}])


def service(dice: random.Random) -> Dict[str, Any]:
    verbs = ["GET /api/v1/users", "GET /api/v1/users/{id}", "POST /api/v1/orders", "DELETE /api/v1/orders/{id}",
             "POST /api/v1/auth/login"]
    old = dice.sample(verbs, dice.randint(1, 5))
    new = [text.replace("v1", "v2") for text in old if dice.random() < 0.9] + ["GET /api/v2/health"]
    rate = dice.choice([2, 90, 1200])
    load = {"requests_per_second": rate, "peak_requests_per_second": 2 * rate, "p95_response_time_ms": 200,
            "error_rate": 0.002}
    details = {"legacy_service": {"endpoints": old, "current_load": load,
                                  "infrastructure": {"instances": 4, "cpu_cores_per_instance": 4}},
               "new_service": {"endpoints": new, "infrastructure": {
                   "initial_replicas": dice.randint(1, 6), "max_replicas": 12, "cpu_limit_millicores": 1000}}}
    flags = [{"name": f"flag_{number}", "initial_percentage": 0, "parallel": dice.random() < 0.3, "rollout_schedule": [
        {"percentage": share, "duration_hours": dice.choice([1, 12, 48])} for share in (5, 25, 50, 100)]}
        for number in range(dice.randint(0, 3))]
    return {"service_details": details, "feature_flags": flags}


def workloads(dice: random.Random) -> List[Dict[str, Any]]:
    rows = []
    for number in range(dice.randint(1, 6)):
        rows.append({"name": f"load-{number}", "vms": dice.randint(1, 25), "size_gb": dice.choice([50, 900]),
                     "criticality": dice.choice(["low", "critical"]),
                     "r_strategy": dice.choice(["rehost", "rehost", "retain"]),
                     "depends_on": [f"load-{dice.randrange(number)}"] if number and dice.random() < 0.5 else []})
    return rows


def windows(dice: random.Random) -> Dict[str, Any]:
    zone = dice.choice(["UTC", "Europe/Berlin", "America/New_York", "+05:30"])
    return {"preferred_migration_window": {"start": dice.choice(["22:00", "02:00"]), "end": "05:00", "timezone": zone},
            "critical_business_hours": {"start": "08:00", "end": "19:00", "timezone": zone},
            "holidays": ["2026-03-06"], "blackout_dates": [{"start": "2026-03-24", "end": "2026-03-26"}]}
