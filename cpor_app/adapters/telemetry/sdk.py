"""
The SDK of OpenTelemetry and where it sends to: loaded by `recording`'s thread and by nothing else.

How often, how much and under which name is sent, the SDK's own variables say (`OTEL_SERVICE_NAME`,
`OTEL_TRACES_SAMPLER`, `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_METRIC_EXPORT_INTERVAL`).
"""

from azure.core.settings import settings as azure_settings
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer

NAME = "cpor"


class Exporting:
    """Spans and metrics on their way to whoever was named; of this process alone, not OpenTelemetry's globals."""

    tracer: Tracer
    meter: Meter

    def __init__(self, *, connection_string: str | None, otlp_endpoint: str | None, site_name: str | None) -> None:
        """
        Begin to send, in threads of the SDK's.

        The name is that of the function app, under which the host reports too; `OTEL_SERVICE_NAME` goes before it.
        """
        azure_settings.tracing_enabled = False  # its own spans bear keys and names of blobs
        resource = Resource.create({SERVICE_NAME: site_name or NAME} if _is_unnamed() else None)
        self._traces = TracerProvider(resource=resource)
        exporters: list[tuple[SpanExporter, MetricExporter]] = []
        if connection_string is not None:
            exporters.append(_application_insights(connection_string, self._traces))
        if otlp_endpoint is not None:
            exporters.append(_otlp(otlp_endpoint.rstrip("/")))
        for spans, _ in exporters:
            self._traces.add_span_processor(BatchSpanProcessor(spans))
        readers = [PeriodicExportingMetricReader(metrics) for _, metrics in exporters]
        self._metrics = MeterProvider(readers, resource=resource)
        self.tracer = self._traces.get_tracer(NAME)
        self.meter = self._metrics.get_meter(NAME)

    def close(self) -> None:
        """Send what waits, and stop."""
        self._traces.shutdown()
        self._metrics.shutdown()


def _is_unnamed() -> bool:
    return str(Resource.create().attributes[SERVICE_NAME]).startswith("unknown_service")


def _application_insights(connection_string: str, traces: TracerProvider) -> tuple[SpanExporter, MetricExporter]:
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter

    # As whom it writes, APPLICATIONINSIGHTS_AUTHENTICATION_STRING says. What can't be sent is not kept on disk.
    # Without *traces* it asks OpenTelemetry's globals, which are not used here, and logs an error at every export.
    return (
        AzureMonitorTraceExporter(
            connection_string=connection_string, disable_offline_storage=True, tracer_provider=traces
        ),
        AzureMonitorMetricExporter(connection_string=connection_string, disable_offline_storage=True),
    )


def _otlp(endpoint: str) -> tuple[SpanExporter, MetricExporter]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # Headers that the collector wants, they read by themselves.
    return OTLPSpanExporter(f"{endpoint}/v1/traces"), OTLPMetricExporter(f"{endpoint}/v1/metrics")
