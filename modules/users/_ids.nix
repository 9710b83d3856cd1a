# The ids of users and groups: those that a configuration gives, and free ones for the others.
#
# What a function of name order gives is stable as long as nobody is added before; a service that
# keeps files beyond a reboot should be given its id.
{ lib }:
let
  inherit (builtins) elem foldl';

  # Where free ids begin: NixOS's ranges for services and for people.
  firstSystemId = 400;
  firstNormalId = 1000;

  # Gives every record an id: its own, or the lowest free one from `firstOf record` on.
  number =
    key: firstOf: records:
    let
      next = taken: id: if elem id taken then next taken (id + 1) else id;
      step =
        state: record:
        let
          id = if record.${key} != null then record.${key} else next state.taken (firstOf record);
        in
        {
          taken = state.taken ++ [ id ];
          ids = state.ids // {
            ${record.name} = id;
          };
        };
      given = map (record: record.${key}) (lib.filter (record: record.${key} != null) records);
    in
    (foldl' step {
      taken = given;
      ids = { };
    } records).ids;
in
{
  /** The id of each user, by name. */
  uidsOf =
    users:
    number "uid" (user: if user.isNormalUser then firstNormalId else firstSystemId) (
      builtins.attrValues users
    );

  /** The id of each group, by name. */
  gidsOf = groups: number "gid" (_group: firstSystemId) (builtins.attrValues groups);

  /** The records in the order of their ids: programs take the first line with an id. */
  byId = ids: lib.sort (a: b: ids.${a.name} < ids.${b.name});
}
