"""Stands in for the commercial extension's module, whose this exporter is."""

import os

from inmanta.export import export


@export("service_entities_exporter", "carried::Parcel")
def export_services(exporter, types) -> None:
    parcels = sorted(parcel.name for parcel in types["carried::Parcel"])
    with open("exported", "w") as told:
        print(f"{parcels} with lsm_no_instances={os.environ['lsm_no_instances']}", file=told)
