"""All methods of the moderation API that are there, by how they are answered."""

from ozone import (
    emit,
    event_detail,
    event_query,
    queue_assignments,
    queue_reports,
    queues,
    report_activities,
    report_assignments,
    report_stats,
    reports,
    sets,
    settings,
    status_query,
    subjects,
    team,
    templates,
    timeline,
)
from ozone import server as config
from ozone.sources import Lookup
from ozone.visit import Procedure, Query

LOOKUPS: tuple[Lookup, ...] = (*subjects.LOOKUPS, *event_detail.LOOKUPS)
QUERIES: tuple[Query, ...] = (
    *config.QUERIES,
    *team.QUERIES,
    *settings.QUERIES,
    *templates.QUERIES,
    *sets.QUERIES,
    *queues.QUERIES,
    *queue_assignments.QUERIES,
    *event_query.QUERIES,
    *status_query.QUERIES,
    *timeline.QUERIES,
    *reports.QUERIES,
    *report_activities.QUERIES,
    *report_assignments.QUERIES,
    *report_stats.QUERIES,
)
PROCEDURES: tuple[Procedure, ...] = (
    *emit.PROCEDURES,
    *config.PROCEDURES,
    *team.PROCEDURES,
    *settings.PROCEDURES,
    *templates.PROCEDURES,
    *sets.PROCEDURES,
    *queues.PROCEDURES,
    *queue_assignments.PROCEDURES,
    *queue_reports.PROCEDURES,
    *reports.PROCEDURES,
    *report_activities.PROCEDURES,
    *report_assignments.PROCEDURES,
    *report_stats.PROCEDURES,
)
