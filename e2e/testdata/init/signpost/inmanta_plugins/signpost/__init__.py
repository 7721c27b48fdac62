import pathlib

from inmanta.agent.handler import CRUDHandler, HandlerContext, ResourcePurged, provider
from inmanta.resources import PurgeableResource, resource


@resource("signpost::Sign", agent="by", id_attribute="path")
class Sign(PurgeableResource):
    fields = ("path", "points_to", "by")
    path: str
    points_to: str
    by: str


@provider("signpost::Sign", name="file")
class SignHandler(CRUDHandler[Sign]):
    def read_resource(self, ctx: HandlerContext, resource: Sign) -> None:
        sign = pathlib.Path(resource.path)
        if not sign.exists():
            raise ResourcePurged()
        resource.points_to = sign.read_text()

    def create_resource(self, ctx: HandlerContext, resource: Sign) -> None:
        sign = pathlib.Path(resource.path)
        sign.parent.mkdir(parents=True, exist_ok=True)
        sign.write_text(resource.points_to)
        ctx.set_created()

    def update_resource(self, ctx: HandlerContext, changes: dict, resource: Sign) -> None:
        pathlib.Path(resource.path).write_text(resource.points_to)
        ctx.set_updated()

    def delete_resource(self, ctx: HandlerContext, resource: Sign) -> None:
        pathlib.Path(resource.path).unlink()
        ctx.set_purged()
