# Paths: joining, splitting, comparing, without touching the disk.
#
# A subpath is a relative path as a string, without "..", normalised to begin with "./".
lib:
let
  inherit (builtins)
    concatStringsSep
    elem
    filter
    genList
    head
    isPath
    isString
    length
    split
    substring
    typeOf
    ;
  inherit (lib) hasPrefix last take;

  # The components of an absolute path value.
  componentsOf = path: filter (c: isString c && c != "") (split "/+" (toString path));

  toPath = components: /. + ("/" + concatStringsSep "/" components);

  # The components of a relative path, without "." and empty ones.
  splitRelative = s: filter (c: isString c && c != "" && c != ".") (split "/+" s);

  joinRelative =
    components: "./" + (if components == [ ] then "." else concatStringsSep "/" components);

  # Why a string is no subpath, or null.
  subpathProblem =
    value:
    if !isString value then
      "The given value is of type ${typeOf value}, but a string was expected"
    else if value == "" then
      "The given string is empty"
    else if substring 0 1 value == "/" then
      "The given string \"${value}\" starts with a `/`, representing an absolute path"
    else if elem ".." (splitRelative value) then
      "The given string \"${value}\" contains a `..` component, which is not allowed in subpaths"
    else
      null;

  mustBePath =
    name: path:
    lib.assertMsg (isPath path) "lib.path.${name}: The ${
      if name == "append" then "first " else ""
    }argument is of type ${typeOf path}, but a path was expected";

  # Is the component list that of something in the store directory?
  isStoreObject =
    components:
    let
      store = componentsOf builtins.storeDir;
      n = length store;
      # Content-addressed outputs are shown by a placeholder at the root: 52 base-32 characters.
      isPlaceholder = components != [ ] && builtins.match "[0-9a-z]{52}" (head components) != null;
    in
    (
      length components > n
      && take n components == store
      && builtins.match "[0-9a-df-np-sv-z]{32}-.*" (builtins.elemAt components n) != null
    )
    || isPlaceholder;
in
{
  /**
    A path with a subpath appended.
    Example: `path.append /foo "bar/baz"` => `/foo/bar/baz`
  */
  append =
    path: subpath:
    assert mustBePath "append" path;
    assert lib.assertMsg (subpathProblem subpath == null) ''
      lib.path.append: Second argument is not a valid subpath string:
          ${subpathProblem subpath}'';
    path + ("/" + subpath);

  /**
    Is the first path an ancestor of the second, or the same?
    Example: `path.hasPrefix /foo /foo/bar` => `true`
  */
  hasPrefix =
    path1:
    assert mustBePath "hasPrefix" path1;
    let
      a = componentsOf path1;
    in
    path2:
    assert mustBePath "hasPrefix" path2;
    take (length a) (componentsOf path2) == a;

  /**
    The second path below the first, as a subpath.
    Example: `path.removePrefix /foo /foo/bar/baz` => `"./bar/baz"`
  */
  removePrefix =
    path1:
    assert mustBePath "removePrefix" path1;
    let
      a = componentsOf path1;
    in
    path2:
    assert mustBePath "removePrefix" path2;
    let
      b = componentsOf path2;
    in
    if take (length a) b == a then
      joinRelative (lib.drop (length a) b)
    else
      throw "lib.path.removePrefix: The first path argument \"${toString path1}\" is not a component-wise prefix of the second path argument \"${toString path2}\".";

  /**
    The root of a path and the rest as a subpath.
    Example: `path.splitRoot /foo/bar` => `{ root = /.; subpath = "./foo/bar"; }`
  */
  splitRoot =
    path:
    assert mustBePath "splitRoot" path;
    {
      root = /.;
      subpath = joinRelative (componentsOf path);
    };

  /**
    Does a path begin with that of a store object?
    Example: `path.hasStorePathPrefix /foo` => `false`
  */
  hasStorePathPrefix =
    path:
    assert mustBePath "hasStorePathPrefix" path;
    isStoreObject (componentsOf path);

  /**
    The path value of components.
  */
  fromComponents = toPath;

  subpath = {
    /**
      Is the value a subpath?
      Example: `path.subpath.isValid "../x"` => `false`
    */
    isValid = value: subpathProblem value == null;

    /**
      Join subpaths.
      Example: `path.subpath.join [ "foo" "bar/baz" ]` => `"./foo/bar/baz"`
    */
    join =
      subpaths:
      let
        problems = filter (i: subpathProblem (builtins.elemAt subpaths i) != null) (
          genList (i: i) (length subpaths)
        );
        bad = head problems;
      in
      if problems != [ ] then
        throw ''
          lib.path.subpath.join: Element at index ${toString bad} is not a valid subpath string:
              ${subpathProblem (builtins.elemAt subpaths bad)}''
      else
        joinRelative (lib.concatMap splitRelative subpaths);

    /**
      The components of a subpath.
      Example: `path.subpath.components "./foo//bar"` => `[ "foo" "bar" ]`
    */
    components =
      subpath:
      if subpathProblem subpath != null then
        throw ''
          lib.path.subpath.components: Argument is not a valid subpath string:
              ${subpathProblem subpath}''
      else
        splitRelative subpath;

    /**
      A subpath in normal form.
      Example: `path.subpath.normalise "foo//./bar/"` => `"./foo/bar"`
    */
    normalise =
      subpath:
      if subpathProblem subpath != null then
        throw ''
          lib.path.subpath.normalise: Argument is not a valid subpath string:
              ${subpathProblem subpath}''
      else
        joinRelative (splitRelative subpath);
  };

  /**
    The last component of a path value. Example: `path.baseName /foo/bar` => `"bar"`
  */
  baseName =
    path:
    assert mustBePath "baseName" path;
    last (componentsOf path);

  /**
    Is a string an absolute path? Example: `path.isAbsolute "/a"` => `true`
  */
  isAbsolute = s: hasPrefix "/" (toString s);
}
