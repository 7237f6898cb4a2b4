"""
Starts the SDK of OpenTelemetry and its exporters. Only the thread in `recording` loads this module.

The SDK reads its own environment variables for name, sampling and intervals: `OTEL_SERVICE_NAME`,
`OTEL_TRACES_SAMPLER`, `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_METRIC_EXPORT_INTERVAL`.
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
    """Exports spans and metrics of this process, without OpenTelemetry's global objects."""

    tracer: Tracer
    meter: Meter

    def __init__(self, *, connection_string: str | None, otlp_endpoint: str | None, site_name: str | None) -> None:
        """
        Start to send spans and metrics in the SDK's threads.

        The service name is the name of the function app, as in the host's telemetry. `OTEL_SERVICE_NAME` overrides it.
        """
        azure_settings.tracing_enabled = False  # the SDKs' own spans hold keys and names of blobs
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
        """Send spans and counts that wait, then stop."""
        self._traces.shutdown()
        self._metrics.shutdown()


def _is_unnamed() -> bool:
    return str(Resource.create().attributes[SERVICE_NAME]).startswith("unknown_service")


def _application_insights(connection_string: str, traces: TracerProvider) -> tuple[SpanExporter, MetricExporter]:
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter

    # APPLICATIONINSIGHTS_AUTHENTICATION_STRING names the identity. Data that cannot be sent is not stored on disk.
    # Without *traces* the exporter uses OpenTelemetry's global objects. They are not set, so each export logs an error.
    return (
        AzureMonitorTraceExporter(
            connection_string=connection_string, disable_offline_storage=True, tracer_provider=traces
        ),
        AzureMonitorMetricExporter(connection_string=connection_string, disable_offline_storage=True),
    )


def _otlp(endpoint: str) -> tuple[SpanExporter, MetricExporter]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # The exporters read the headers for the collector from the environment.
    return OTLPSpanExporter(f"{endpoint}/v1/traces"), OTLPMetricExporter(f"{endpoint}/v1/metrics")
