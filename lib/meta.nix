# What packages say about themselves: platforms, licences, programs.
lib:
let
  inherit (builtins)
    any
    isString
    ;
  inherit (lib) isDerivation;
in
{
  /**
    Add attributes to a package's meta.
  */
  addMetaAttrs =
    attrs: pkg:
    if pkg ? overrideAttrs then
      pkg.overrideAttrs (
        final: prev: {
          meta = (prev.meta or { }) // lib.toFunction attrs (prev.meta or { });
        }
      )
    else
      pkg // { meta = (pkg.meta or { }) // attrs; };

  /**
    The package without its use as a Hydra job.
  */
  dontDistribute = lib.meta.addMetaAttrs { hydraPlatforms = [ ]; };

  /**
    The package under another name.
  */
  setName = name: drv: drv // { inherit name; };

  /**
    The package with its name changed by a function.
  */
  updateName = f: drv: drv // { name = f drv.name; };

  /**
    The package with a suffix to its name.
  */
  appendToName =
    suffix:
    lib.meta.updateName (
      name:
      let
        x = builtins.parseDrvName name;
      in
      "${x.name}-${suffix}-${x.version}"
    );

  /**
    A function over every derivation of a set.
  */
  mapDerivationAttrset =
    f: set: builtins.mapAttrs (_: pkg: if isDerivation pkg then f pkg else pkg) set;

  /**
    Another priority in profiles; lower wins.
  */
  setPrio = priority: lib.meta.addMetaAttrs { inherit priority; };
  defaultPriority = 5;
  lowPrio = lib.meta.setPrio 10;
  lowPrioSet = set: lib.mapDerivationAttrset lib.lowPrio set;
  hiPrioSet = set: lib.mapDerivationAttrset lib.hiPrio set;
  hiPrio = lib.meta.setPrio (-10);

  /**
    Does a platform match an element of `meta.platforms` (a system string or a pattern)?
    Example: `meta.platformMatch { system = "x86_64-linux"; } "x86_64-linux"` => `true`
  */
  platformMatch =
    platform: element:
    if isString element then
      platform ? system && platform.system == element
    else
      lib.matchAttrs (if element ? parsed then element else { parsed = element; }) platform;

  /**
    Does the package say that it works on the platform?
  */
  availableOn =
    platform: pkg:
    let
      platforms = pkg.meta.platforms or null;
    in
    (platforms == null || any (lib.meta.platformMatch platform) platforms)
    && !(any (lib.meta.platformMatch platform) (pkg.meta.badPlatforms or [ ]));

  /**
    The licence of an SPDX identifier. Example: `(getLicenseFromSpdxId "MIT").spdxId` => `"MIT"`
  */
  getLicenseFromSpdxId =
    id:
    lib.meta.getLicenseFromSpdxIdOr id (
      lib.warn "getLicenseFromSpdxId: No license matches the given SPDX ID: ${id}" { shortName = id; }
    );

  /**
    The same with a default.
  */
  getLicenseFromSpdxIdOr =
    let
      byId = lib.mapAttrs' (id: license: {
        name = lib.toLower id;
        value = license;
      }) lib.licensesSpdx;
    in
    id: default: byId.${lib.toLower id} or default;

  /**
    The licences by their SPDX identifiers. Example: `licensesSpdx."MIT".shortName` => `"mit"`
  */
  licensesSpdx = lib.mapAttrs' (_: license: {
    name = license.spdxId;
    value = license;
  }) (lib.filterAttrs (_: license: license ? spdxId && !license.deprecated) lib.licenses);

  /**
    The path of a package's main program.
  */
  getExe =
    pkg:
    lib.getExe' pkg (
      pkg.meta.mainProgram
        or (lib.warn "getExe: Package ${lib.strings.escapeNixIdentifier pkg.meta.name or pkg.pname or pkg.name} does not have the meta.mainProgram attribute. We'll assume that the main program has the same name." (
          lib.getName pkg
        ))
    );

  /**
    The path of a named program of a package.
  */
  getExe' =
    pkg: name:
    assert lib.assertMsg (isDerivation pkg)
      "lib.meta.getExe': The first argument is of type ${builtins.typeOf pkg}, but it should be a derivation instead.";
    assert lib.assertMsg (isString name)
      "lib.meta.getExe': The second argument is of type ${builtins.typeOf name}, but it should be a string instead.";
    assert lib.assertMsg (builtins.length (lib.splitString "/" name) == 1)
      "lib.meta.getExe': The second argument \"${name}\" is a nested path with a \"/\" character, but it should just be the name of the executable instead.";
    "${lib.getBin pkg}/bin/${name}";
}
