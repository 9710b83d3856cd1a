# What packages say of themselves, by their names: those of the package sets that images are made from, and
# those that the configuration itself brings.
{
  config,
  lib,
  pkgs,
}:
let
  inherit (builtins) isList isString tryEval;
  inherit (lib) filter isDerivation listToAttrs nameValuePair;

  # An SPDX expression; a list means that all of its licences are to be kept to.
  expression =
    license:
    if license == null then
      null
    else if isString license then
      license
    else if isList license then
      if license == [ ] then null else lib.concatMapStringsSep " AND " inList license
    else
      lib.licenses.toSPDX license;
  inList = license: if license.licenseType or "" == "compound" then "(${expression license})" else expression license;

  first = value: if isList value then lib.findFirst (_: true) null value else value;

  about = package: {
    description = package.meta.description or null;
    homepage = first (package.meta.homepage or null);
    license = expression (package.meta.license or null);
    licenseFiles = package.meta.licenseFiles or [ ];
  };

  nameOf = package: package.pname or (builtins.parseDrvName package.name).name;

  # A package that the set has not for this platform is in no image, either.
  attempt =
    set: name:
    let
      package = set.${name};
      described = nameValuePair (nameOf package) (about package);
    in
    tryEval (if isDerivation package then builtins.deepSeq described described else null);

  ofSet =
    set:
    listToAttrs (
      filter (found: found != null) (
        map (result: if result.success then result.value else null) (
          map (attempt set) (set.packageNames or [ ])
        )
      )
    );

  ofConfiguration = listToAttrs (
    map (package: nameValuePair (nameOf package) (about package)) (
      filter isDerivation config.environment.systemPackages
    )
  );
in
ofSet pkgs // ofSet (pkgs.pkgsMusl or { }) // ofConfiguration
